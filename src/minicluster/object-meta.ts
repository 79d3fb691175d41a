import { randomUUID } from 'node:crypto'
import { LatchkeyError } from '../core/errors.ts'
import { isDnsLabel, isDnsSubdomain } from '../core/kube-names.ts'

export interface ObjectRef {
  readonly namespace: string
  readonly name: string
}

export interface ObjectMeta extends ObjectRef {
  readonly uid: string
  readonly resourceVersion: number
  readonly createdAtMs: number
}

/** The store's one revision: every write of any object takes the next number. */
export class Revision {
  #current = 1

  get current(): number {
    return this.#current
  }

  next(): number {
    this.#current += 1
    return this.#current
  }
}

export function newUid(): string {
  return randomUUID()
}

/** Throws: InvalidRequest, naming the field, where a real API server would refuse the names. */
export function checkRef(kind: string, { namespace, name }: ObjectRef): void {
  if (!isDnsLabel(namespace)) {
    throw new LatchkeyError('InvalidRequest', `${kind} namespace: "${namespace}" is no namespace`)
  }
  if (!isDnsSubdomain(name)) {
    throw new LatchkeyError('InvalidRequest', `${kind} name: "${name}" is no name of an object`)
  }
}

export function keyOf({ namespace, name }: ObjectRef): string {
  return `${namespace}/${name}`
}

/** Seconds and no fraction, as the API server writes every time. */
export function formatTime(atMs: number): string {
  return new Date(atMs).toISOString().replace(/\.\d+Z$/, 'Z')
}
