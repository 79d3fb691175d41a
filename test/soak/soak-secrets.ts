import type { Minicluster } from '../../src/minicluster/minicluster.ts'
import { filesOf } from './generation-files.ts'
import type { FilesOf } from './volume-reading.ts'

export const NAMESPACE = 'shop'

const MAX_FILES = 50

/** The Secrets of a node's pods, in numbered generations; where there is a Vault, its users instead. */
export class SoakSecrets {
  readonly #objects: Minicluster['objects']
  readonly #isLeasing: boolean
  readonly #generations = new Map<string, number>()
  readonly #files = new Map<string, ReturnType<FilesOf>>()

  constructor(objects: Minicluster['objects'], isLeasing: boolean) {
    this.#objects = objects
    this.#isLeasing = isLeasing
  }

  get names(): readonly string[] {
    return [...this.#generations.keys()]
  }

  /** 0: there has been none yet. */
  generationOf(secret: string): number {
    return this.#generations.get(secret) ?? 0
  }

  /** The Secret's next generation; what is leased changes by itself. */
  change(secret: string): void {
    if (this.#isLeasing) return
    const generation = this.generationOf(secret) + 1
    this.#generations.set(secret, generation)
    const spec = { namespace: NAMESPACE, name: secret, data: this.filesOf(secret)(generation) }
    if (generation === 1) this.#objects.createSecret(spec)
    else this.#objects.updateSecret(spec)
  }

  /** Made once each, for every reader compares with them. */
  filesOf(secret: string): FilesOf {
    const whose = this.#isLeasing ? 'user' : secret
    return (generation) => {
      const name = `${whose} ${generation}`
      const files = this.#files.get(name) ?? filesOf(whose, generation)
      if (this.#files.size > MAX_FILES) this.#files.clear()
      this.#files.set(name, files)
      return files
    }
  }
}
