import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

import { findProgram } from './packages.ts'

export const PAUSE_IMAGE = 'localhost/latchkey-e2e-pause:1'
/** In the node's own /run, which is a tmpfs: ctr finds it without being told. */
export const CONTAINERD_SOCKET = '/run/containerd/containerd.sock'

/** Writes containerd's and the CNI's configuration and gives the command that runs containerd. */
export function configureContainerd(folder: string): string[] {
  const cniFolder = join(folder, 'cni')
  mkdirSync(cniFolder, { recursive: true })
  writeFileSync(join(cniFolder, '10-bridge.conflist'), JSON.stringify(bridge(folder)))
  const file = join(folder, 'containerd.toml')
  writeFileSync(file, containerdConfig(join(folder, 'containerd'), cniFolder))
  return ['containerd', '-c', file]
}

function containerdConfig(root: string, cniFolder: string): string {
  const cri = 'plugins."io.containerd.grpc.v1.cri"'
  const unused = ['snapshotter.v1.btrfs', 'snapshotter.v1.zfs', 'snapshotter.v1.devmapper']
  const disabled = [...unused, 'snapshotter.v1.aufs', 'internal.v1.opt']
  return `version = 2
root = "${root}"
state = "/run/containerd"
disabled_plugins = [${disabled.map((name) => `"io.containerd.${name}"`).join(', ')}]
[grpc]
  address = "${CONTAINERD_SOCKET}"
[${cri}]
  sandbox_image = "${PAUSE_IMAGE}"
  # Profiles live in the kernel, outside every namespace of ours.
  disable_apparmor = true
  # Where the score may not be lowered (an unprivileged outer container), pods would not start.
  restrict_oom_score_adj = true
  stream_server_address = "127.0.0.1"
  [${cri}.cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "${cniFolder}"
  [${cri}.containerd]
    snapshotter = "overlayfs"
    [${cri}.containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [${cri}.containerd.runtimes.runc.options]
        SystemdCgroup = false
        BinaryName = "${findProgram('runc') ?? 'runc'}"
`
}

function bridge(folder: string): object {
  return {
    cniVersion: '1.0.0',
    name: 'e2e',
    plugins: [
      {
        type: 'bridge',
        bridge: 'cni0',
        isGateway: true,
        ipMasq: false,
        hairpinMode: true,
        ipam: {
          type: 'host-local',
          dataDir: join(folder, 'cni-state'),
          ranges: [[{ subnet: '10.77.1.0/24' }]],
          routes: [{ dst: '0.0.0.0/0' }],
        },
      },
    ],
  }
}
