import { posix } from 'node:path'
import { LatchkeyError } from './errors.ts'
import { isDnsLabel } from './kube-names.ts'

export interface TargetPath {
  readonly podUid: string
  readonly volumeName: string
}

const SHAPE = /\/pods\/([^/]+)\/volumes\/kubernetes\.io~csi\/([^/]+)\/mount$/

const UID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$|^[0-9a-f]{32}$/

/**
 * Takes apart `ROOT/pods/UID/volumes/kubernetes.io~csi/NAME/mount`, the only shape in which kubelet
 * publishes an inline volume, and refuses every other. Says nothing about links on the way: whoever
 * touches the path must not follow any.
 *
 * Throws: InvalidRequest.
 */
export function parseTargetPath(targetPath: string, kubeletRoot: string): TargetPath {
  const refuse = (why: string): never => {
    throw new LatchkeyError('InvalidRequest', `target_path: ${why}`)
  }
  if (targetPath === '') refuse('is missing')
  const prefix = `${kubeletRoot}/pods/`
  if (targetPath !== posix.normalize(targetPath) || !targetPath.startsWith(prefix)) {
    refuse(`must be a plain path below ${prefix} (kubelet.root in the configuration)`)
  }
  const [podUid = '', volumes, plugin, volumeName = '', mount, ...rest] = targetPath
    .slice(prefix.length)
    .split('/')
  const shaped = volumes === 'volumes' && plugin === 'kubernetes.io~csi' && mount === 'mount'
  if (!shaped || rest.length > 0) {
    refuse('must end in /POD_UID/volumes/kubernetes.io~csi/VOLUME/mount')
  }
  if (!UID.test(podUid)) refuse('holds no pod uid')
  if (!isDnsLabel(volumeName)) refuse('holds no volume name')
  return { podUid, volumeName }
}

/** What a target path says to people, below whatever folder of kubelet; undefined where it says nothing. */
export function readTargetPath(targetPath: string): TargetPath | undefined {
  const [, podUid, volumeName] = SHAPE.exec(targetPath) ?? []
  return podUid === undefined || volumeName === undefined ? undefined : { podUid, volumeName }
}
