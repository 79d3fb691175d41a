import { lstatSync, mkdirSync, readFileSync, readlinkSync } from 'node:fs'
import { dirname } from 'node:path'
import { SecretBytes } from '../../src/core/secret-bytes.ts'
import type { VolumeFile } from '../../src/core/types.ts'
import { volumeIdOf } from '../../src/core/volume-id.ts'
import { withFolder } from '../../src/host/volume/held-folder.ts'
import { walk } from '../../src/host/volume/walk.ts'
import type { Volume } from '../../src/host/volume/volume-store.ts'
import { POD_UID } from './volume-requests.ts'

/** A volume of POD_UID whose parent exists, as kubelet makes it before it publishes. */
export function volumeAt(kubeletRoot: string, name = 'db', fsGroup?: number): Volume {
  const targetPath = `${kubeletRoot}/pods/${POD_UID}/volumes/kubernetes.io~csi/${name}/mount`
  mkdirSync(dirname(targetPath), { recursive: true, mode: 0o750 })
  return { volumeId: volumeIdOf(POD_UID, name), targetPath, fsGroup }
}

export function fileOf(
  path: string,
  data: string | Buffer,
  changes: Partial<VolumeFile> = {},
): VolumeFile {
  const bytes = SecretBytes.copyOf(Buffer.from(data))
  return { path, data: bytes, mode: 0o644, ownerUid: 0, ...changes }
}

/** Every entry below a folder as `type mode uid:gid name -> link`, the generation's random name as GEN. */
export function listing(folder: string): readonly string[] {
  const lines: string[] = []
  withFolder(folder, (fd) => {
    walk(fd, ({ name, path }) => {
      const stat = lstatSync(path)
      const type = stat.isSymbolicLink() ? 'l' : stat.isDirectory() ? 'd' : '-'
      const link = type === 'l' ? ` -> ${readlinkSync(path)}` : ''
      const mode = (stat.mode & 0o7777).toString(8)
      lines.push(`${type} ${mode} ${stat.uid}:${stat.gid} ${name}${link}`)
    })
  })
  return lines.map((line) => line.replaceAll(/\.\.\d{4}(_\d\d){5}\.\d+/g, 'GEN')).sort()
}

export function readText(volume: Volume, path: string): string {
  return readFileSync(`${volume.targetPath}/${path}`, 'utf8')
}
