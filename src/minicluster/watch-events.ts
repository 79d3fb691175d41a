import { statusObject } from './answer.ts'
import type { MediaType } from './media-type.ts'
import {
  bookmarkTable,
  metadataJson,
  partialMetadataJson,
  secretJson,
  secretTable,
} from './secret-form.ts'
import type { RowObject } from './secret-form.ts'
import type { SecretChange } from './secret-store.ts'

// Marks the end of the objects that were there when the watch began.
const INITIAL_EVENTS_END = { 'k8s.io/initial-events-end': 'true' }

/** Words the lines of one watch, in the form that was asked for. */
export class WatchEvents {
  readonly #as: MediaType['as']
  readonly #rowObject: RowObject
  // A watch of Tables describes the columns once.
  #isFirst = true

  constructor(as: MediaType['as'], rowObject: RowObject) {
    this.#as = as
    this.#rowObject = rowObject
  }

  change({ type, secret }: SecretChange, nowMs: number): string {
    switch (this.#as) {
      case 'object':
        return this.#line(type, secretJson(secret))
      case 'PartialObjectMetadata':
        return this.#line(type, partialMetadataJson(metadataJson(secret)))
      case 'Table':
        return this.#line(type, secretTable(secret, this.#rowObject, nowMs, this.#isFirst))
    }
  }

  bookmark(revision: number, endsInitialEvents: boolean): string {
    const metadata = {
      resourceVersion: String(revision),
      ...(endsInitialEvents ? { annotations: INITIAL_EVENTS_END } : {}),
    }
    switch (this.#as) {
      case 'object':
        return this.#line('BOOKMARK', { kind: 'Secret', apiVersion: 'v1', metadata })
      case 'PartialObjectMetadata':
        return this.#line('BOOKMARK', partialMetadataJson(metadata))
      case 'Table': {
        // The annotation has no other place in a Table, so this row's object comes even unasked for.
        const object = endsInitialEvents ? partialMetadataJson(metadata) : null
        return this.#line('BOOKMARK', bookmarkTable(revision, object, this.#isFirst))
      }
    }
  }

  /** 410 Gone: the version to start from is forgotten. Comes under HTTP 200. */
  expired(asked: number, oldest: number): string {
    const message = `too old resource version: ${asked} (${oldest})`
    return this.#line('ERROR', statusObject({ code: 410, message, reason: 'Expired' }))
  }

  #line(type: string, object: object): string {
    this.#isFirst = false
    return `${JSON.stringify({ type, object })}\n`
  }
}
