import type { Reason } from '../../src/core/errors.ts'

export interface ReasonProse {
  /** What has happened. */
  readonly meaning: string
  /** What whoever reads it can do. */
  readonly remedy: string
}

/** One entry per reason: the compiler tells when one is missing. */
export const REASON_PROSE: Readonly<Record<Reason, ReasonProse>> = {
  InvalidRequest: {
    meaning:
      'A field is missing or malformed: in `volumeAttributes`, in a request of kubelet, in the configuration.',
    remedy: 'Correct the field that the message names. A pod has to be made anew.',
  },
  TokenMissing: {
    meaning: 'kubelet sent no token for the audience that is needed.',
    remedy: 'Add the line that the message shows to `spec.tokenRequests` of the CSIDriver object.',
  },
  TokenRejected: {
    meaning:
      'The API server does not take the token: it has expired, its pod is gone, or it was meant for another audience.',
    remedy:
      'Usually the pod is just being deleted. Else compare `audience` in the configuration with `spec.tokenRequests` of the CSIDriver object.',
  },
  PodMismatch: {
    meaning:
      'Token, pod, node, target path and volume id do not belong together, or a token lacks the claims that bind it to its pod and node.',
    remedy:
      'Kubernetes before 1.30 issues tokens without the name of the node: upgrade. Else somebody asks for what is not theirs; the log has the details.',
  },
  AccessDenied: {
    meaning: "The pod's service account may not read the Secret.",
    remedy: 'Run the two `kubectl` lines of the message, or ask somebody who may.',
  },
  SecretNotFound: {
    meaning: 'There is no such Secret, or no such key in it.',
    remedy: 'Create it; the pod starts by itself. Or let the item be absent with `optional: true`.',
  },
  VolumeConflict: {
    meaning: 'The same volume is being published with another target path or other attributes.',
    remedy: 'Two callers use the CSI socket of this node. Find the one that is not kubelet.',
  },
  VolumeNotFound: {
    meaning: 'Figures were asked for of a volume that is not mounted at that path.',
    remedy: 'Nothing: kubelet asks again, or the volume has just gone.',
  },
  UnknownSession: {
    meaning:
      'The host side wanted to take up a stream again that the daemon does not know, for example after both have been restarted.',
    remedy: "Nothing: kubelet's next republish brings new tokens. Files stay until then.",
  },
  PayloadTooLarge: {
    meaning: 'The files of the volume are larger together than `volumes.maxBytes`, or too many.',
    remedy: 'Name single keys in `items`, or raise `volumes.maxBytes` up to its limit.',
  },
  Unsupported: {
    meaning: 'The kernel or the process lacks something that volumes need.',
    remedy:
      'The message says what, and which setting accepts to do without where that is possible.',
  },
  OperationPending: {
    meaning: 'Another call for the same volume is still at work.',
    remedy: 'Nothing: kubelet tries again.',
  },
  SourceUnavailable: {
    meaning: 'The place that keeps the secret does not answer.',
    remedy: 'Look at that place and at the way to it. Mounted files stay.',
  },
  KubeUnavailable: {
    meaning: 'The API server does not answer the daemon.',
    remedy: 'Look at the API server and at network policies. Mounted files stay.',
  },
  DaemonUnavailable: {
    meaning: 'The daemon on this node does not answer the host side.',
    remedy:
      'Look at the log and the restarts of the container `daemon` of that node. Mounted files stay.',
  },
  ShuttingDown: {
    meaning: 'The side that was asked is stopping, as in every rollout.',
    remedy: 'Nothing: its successor answers.',
  },
  Timeout: {
    meaning: 'A bound was reached; the message says of what.',
    remedy: 'Nothing at first: kubelet tries again. If it stays, look at what the message names.',
  },
  Overloaded: {
    meaning:
      "A namespace's or the node's share of memory is used up, or too many calls came at once.",
    remedy:
      "Raise the word in `limits` that the message names. For bytes raise the host container's memory limit, too.",
  },
  VolumeIo: {
    meaning: 'A system call on the volume failed.',
    remedy:
      'The message names the call. Nothing is left behind, and kubelet tries again; where something stays mounted the code is UNAVAILABLE, so that kubelet unpublishes it.',
  },
  Internal: {
    meaning: 'A bug.',
    remedy: 'Please report it with the log line, which says where it happened.',
  },
}
