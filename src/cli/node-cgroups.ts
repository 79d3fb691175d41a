/** Where the DaemonSet shows the node's cgroups; the container's own /sys/fs/cgroup begins at its own one. */
export const NODE_CGROUPS = '/run/node/cgroup'
