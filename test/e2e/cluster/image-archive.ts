import { createHash } from 'node:crypto'
import { createReadStream, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { pipeline } from 'node:stream/promises'

import { run } from './command.ts'

export interface ImageContent {
  /** Full name with tag, such as localhost/base:1. */
  readonly name: string
  /** Becomes the image's only layer, owners and modes as they are. */
  readonly rootFolder: string
  readonly entrypoint: readonly string[]
}

/**
 * Packs a folder as an image archive that ctr and buildah read: one layer, its configuration and a
 * manifest in one tar. No tool but tar is needed, and the same folder gives the same layer.
 */
export async function writeImageArchive(
  content: ImageContent,
  archive: string,
  signal?: AbortSignal,
): Promise<void> {
  const folder = mkdtempSync(join(dirname(archive), 'image-'))
  const options = { timeoutMs: 300_000, ...(signal && { signal }) }
  try {
    const reproducible = ['--sort=name', '--mtime=@0', '--numeric-owner']
    const layer = join(folder, 'layer.tar')
    await run(['tar', ...reproducible, '-C', content.rootFolder, '-cf', layer, '.'], options)
    const config = JSON.stringify(imageConfig(content, await digest(layer)))
    const configFile = `${createHash('sha256').update(config).digest('hex')}.json`
    writeFileSync(join(folder, configFile), config)
    const manifest = [{ Config: configFile, RepoTags: [content.name], Layers: ['layer.tar'] }]
    writeFileSync(join(folder, 'manifest.json'), JSON.stringify(manifest))
    const files = [configFile, 'layer.tar', 'manifest.json']
    const packed = join(folder, 'archive.tar')
    await run(['tar', ...reproducible, '-C', folder, '-cf', packed, ...files], options)
    renameSync(packed, archive)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

function imageConfig(content: ImageContent, layerDigest: string): object {
  return {
    architecture: process.arch === 'x64' ? 'amd64' : process.arch,
    os: 'linux',
    config: {
      Entrypoint: content.entrypoint,
      Env: ['PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'],
    },
    rootfs: { type: 'layers', diff_ids: [`sha256:${layerDigest}`] },
    history: [{ created_by: 'latchkey e2e' }],
  }
}

async function digest(file: string): Promise<string> {
  const hash = createHash('sha256')
  await pipeline(createReadStream(file), hash)
  return hash.digest('hex')
}
