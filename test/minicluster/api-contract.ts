import type { ExecutionContext } from 'ava'
import type { Endpoint } from './api-request.ts'
import { ERROR_CASES } from './contract/errors.ts'
import { EVENT_CASES } from './contract/events.ts'
import { READ_CASES } from './contract/reads.ts'
import { REVIEW_CASES } from './contract/reviews.ts'
import { WATCH_CASES } from './contract/watches.ts'

export interface PodName {
  readonly namespace: string
  readonly name: string
  readonly uid: string
}

/** What a fixture has to be able to do, on an API server in memory or on a real one. */
export interface ContractApi extends Endpoint {
  readonly nodeName: string
  /** Makes a namespace that no other case has. */
  createNamespace(): Promise<string>
  createServiceAccount(namespace: string, name: string): Promise<void>
  /** Answers the resourceVersion. Values are UTF-8. */
  createSecret(
    namespace: string,
    name: string,
    data: Readonly<Record<string, string>>,
    more?: { readonly immutable?: boolean },
  ): Promise<string>
  updateSecret(
    namespace: string,
    name: string,
    data: Readonly<Record<string, string>>,
  ): Promise<string>
  deleteSecret(namespace: string, name: string): Promise<void>
  /** In force when this resolves. */
  grant(grant: {
    readonly namespace: string
    readonly serviceAccount: string
    readonly verbs: readonly ('get' | 'watch')[]
    readonly secrets: readonly string[]
  }): Promise<void>
  /** Takes away all that was granted. */
  revoke(namespace: string, serviceAccount: string): Promise<void>
  createPod(namespace: string, name: string, serviceAccount: string): Promise<PodName>
  forceDelete(pod: PodName): Promise<void>
  /** Audience '' is the API server's own. Valid for ten minutes. */
  podToken(pod: PodName, audience: string): Promise<string>
  /** A token of a service account that may create tokenreviews, and nothing else. */
  reviewerToken(): Promise<string>
  /** A token of a service account that may create events in every namespace. */
  eventWriterToken(): Promise<string>
  /** Makes every version so far too old to watch from; undefined where that cannot be had. */
  readonly forgetHistory: (() => Promise<void>) | undefined
}

export interface ContractCase {
  readonly title: string
  /** What not every fixture can do; a run without it names the case as skipped. */
  readonly needs?: 'forgetHistory'
  readonly run: (t: ExecutionContext, api: ContractApi) => Promise<void>
}

/** What the daemon relies on. True of a real API server as of the one in memory. */
export const CONTRACT: readonly ContractCase[] = [
  ...REVIEW_CASES,
  ...READ_CASES,
  ...WATCH_CASES,
  ...ERROR_CASES,
  ...EVENT_CASES,
]
