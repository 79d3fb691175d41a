import { MAX_VOLUME_BYTES } from '../core/limits.ts'

/** gRPC's cap on one message of the mount API: the contents and room for their framing. */
export const MAX_MOUNT_MESSAGE_BYTES = MAX_VOLUME_BYTES + 1024 * 1024

/** gRPC's cap on one message from kubelet: attributes and a handful of tokens. */
export const MAX_CSI_MESSAGE_BYTES = 256 * 1024

/** Of one volume's bookmark, which the shim keeps for the daemon. */
export const MAX_BOOKMARK_BYTES = 64 * 1024

/** Volumes of one shim's report. */
export const MAX_HELD_VOLUMES = 4_096

/** The longest that the daemon may hold a stream open for a Secret that is not there yet. */
export const MAX_HOLD_MS = 50_000
