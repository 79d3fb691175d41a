import { readFileSync } from 'node:fs'

/** The memory limit of a container in deploy/kustomize/base/daemonset.yaml. */
export function memoryLimitOf(container: 'host' | 'daemon'): number {
  const manifest = readFileSync('deploy/kustomize/base/daemonset.yaml', 'utf8')
  const limit = new RegExp(`- name: ${container}\\n[\\s\\S]*?limits:\\n\\s+memory: (\\d+)Mi`)
  return Number(limit.exec(manifest)?.[1]) * 1024 ** 2
}

/** As the image starts Node. */
export function nodeFlags(): readonly string[] {
  const [, words = ''] = /^ENTRYPOINT (\[.*\])$/m.exec(readFileSync('Dockerfile', 'utf8')) ?? []
  return (JSON.parse(words) as string[]).filter((word) => word.startsWith('--'))
}
