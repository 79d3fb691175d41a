import { readdirSync, type Dirent } from 'node:fs'

/** Everything below a folder, no link followed; node:fs' own `recursive` goes through links to folders. */
export function* walk(
  folder: string,
): Generator<{ readonly path: string; readonly entry: Dirent }> {
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = `${folder}/${entry.name}`
    yield { path, entry }
    if (entry.isDirectory()) yield* walk(path)
  }
}
