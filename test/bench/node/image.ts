import { execFileSync } from 'node:child_process'
import { chmodSync, copyFileSync, cpSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

const PROJECT = join(import.meta.dirname, '..', '..', '..')
const IN_IMAGE = '/opt/latchkey'

/** How the image starts Latchkey, made to be started outside of one. */
export interface Image {
  /** Words before `host` or `daemon`. */
  readonly command: readonly string[]
  readonly env: Readonly<Record<string, string>>
}

/** Builds what the image holds and puts a copy into the folder, with Node, so that nobody's next build is in the way. */
export function buildImage(folder: string): Image {
  execFileSync(process.execPath, ['build.ts'], { cwd: PROJECT, stdio: 'ignore' })
  cpSync(join(PROJECT, 'dist'), folder, { recursive: true })
  // The daemon is another user, and may reach neither this folder nor a Node that lies in somebody's home.
  const node = join(folder, 'node')
  copyFileSync(process.execPath, node)
  chmodSync(folder, 0o755)
  return readDockerfile(readFileSync(join(PROJECT, 'Dockerfile'), 'utf8'), folder, node)
}

/** Throws: Error where it has no ENTRYPOINT of `node` and words in brackets. */
export function readDockerfile(text: string, folder: string, node: string): Image {
  const [, entryPoint = '[]'] = /^ENTRYPOINT (\[.*\])$/m.exec(text) ?? []
  const [program, ...words] = JSON.parse(entryPoint) as readonly string[]
  if (program !== 'node') throw new Error('Dockerfile: expected ENTRYPOINT ["node", ...]')
  const env = [...text.matchAll(/^ENV (\w+)=(\S+)$/gm)].map(([, name = '', value = '']) => [
    name,
    value,
  ])
  return {
    command: [node, ...words.map((word) => word.replace(IN_IMAGE, folder))],
    env: Object.fromEntries(env) as Record<string, string>,
  }
}
