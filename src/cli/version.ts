import { readFileSync } from 'node:fs'

/** The version of package.json, two folders up from here, and from the bundle (dist/app/bin) alike. */
export function readVersion(): string {
  const file = new URL('../../package.json', import.meta.url)
  const { version } = JSON.parse(readFileSync(file, 'utf8')) as { readonly version: string }
  return version
}
