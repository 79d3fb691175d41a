import { LatchkeyError } from '../core/errors.ts'
import { MAX_AUDIENCE_CHARS, MAX_TOKENS } from '../core/limits.ts'
import type { ServiceToken, VolumeRequest } from '../core/types.ts'

/** What kubelet last brought for a volume, and how much of it the daemon has been told. */
export class HeldRequest {
  #request: VolumeRequest | undefined
  /** On the stream that is open now. */
  #toldTokens: readonly ServiceToken[] | undefined
  /** Audiences; undefined for as long as the daemon has not said on this stream what it needs. */
  #needed: ReadonlySet<string> | undefined
  /** The tokens of the stream's first word, for as long as the daemon has not answered it. */
  #greeting: { readonly tokens: readonly ServiceToken[] | undefined } | undefined

  /** undefined after an adoption: the tokens went with the process that had them. */
  constructor(request: VolumeRequest | undefined) {
    this.#request = request
  }

  /** As first published, tokens apart. */
  get request(): VolumeRequest | undefined {
    return this.#request
  }

  /** Takes the newer tokens, and after an adoption the attributes too. */
  renew(request: VolumeRequest): void {
    const known = this.#request
    const tokens = this.#wipeUnneeded(request.tokens)
    if (known !== undefined && sameTokens(known.tokens, tokens)) {
      wipeTokens(tokens)
    } else {
      this.#request = { ...(known ?? request), tokens }
      if (known !== undefined) wipeTokens(known.tokens)
    }
  }

  /**
   * A new stream's first word says all that there is. Undefined: there is nothing to open the volume with,
   * or with tokens that have expired; while nothing is mounted even those are tried, for the refusal.
   */
  takeForOpen(nowMs: number, isMounted: boolean): VolumeRequest | undefined {
    const tokens = this.#request?.tokens
    this.#toldTokens = tokens
    this.#greeting = { tokens }
    // It may be another daemon, which needs others: then these are refused, and kubelet brings all of them again.
    this.#needed = undefined
    const isFresh = tokens?.some(({ expiresAtMs }) => expiresAtMs > nowMs) ?? false
    return isFresh || !isMounted ? this.#request : undefined
  }

  /**
   * From here on, on this stream, tokens for others are zeroed as they come. Throws: InvalidRequest where these are
   * more than kubelet could bring tokens for; whatever the daemon says is kept for every volume.
   */
  keepOnly(audiences: readonly string[]): void {
    checkAudiences(audiences)
    this.#needed = new Set(audiences)
    const request = this.#request
    if (request === undefined) return
    const tokens = this.#wipeUnneeded(request.tokens)
    // Nothing newer has come by that.
    if (this.#toldTokens === request.tokens) this.#toldTokens = tokens
    if (this.#greeting?.tokens === request.tokens) this.#greeting = { tokens }
    this.#request = { ...request, tokens }
  }

  markAnswered(): void {
    this.#greeting = undefined
  }

  /** Newer tokens came while the first word was on its way: a refusal of that says nothing of them. */
  get isOvertaken(): boolean {
    return this.#greeting !== undefined && this.#greeting.tokens !== this.#request?.tokens
  }

  /** Tokens that this stream has not been told yet; answered once per stream and set. */
  takeUntold(): readonly ServiceToken[] | undefined {
    const tokens = this.#request?.tokens
    if (tokens === this.#toldTokens) return undefined
    this.#toldTokens = tokens
    return tokens
  }

  #wipeUnneeded(tokens: readonly ServiceToken[]): readonly ServiceToken[] {
    const needed = this.#needed
    if (needed === undefined) return tokens
    wipeTokens(tokens.filter(({ audience }) => !needed.has(audience)))
    return tokens.filter(({ audience }) => needed.has(audience))
  }

  wipe(): void {
    if (this.#request !== undefined) wipeTokens(this.#request.tokens)
  }
}

function checkAudiences(audiences: readonly string[]): void {
  if (audiences.length > MAX_TOKENS) {
    throw new LatchkeyError('InvalidRequest', `needed.names are more than ${MAX_TOKENS} audiences`)
  }
  const long = audiences.findIndex(({ length }) => length > MAX_AUDIENCE_CHARS)
  if (long < 0) return
  const why = `needed.names[${long}] is longer than ${MAX_AUDIENCE_CHARS} characters`
  throw new LatchkeyError('InvalidRequest', why)
}

function sameTokens(a: readonly ServiceToken[], b: readonly ServiceToken[]): boolean {
  return (
    a.length === b.length &&
    a.every((one) => b.some((two) => one.audience === two.audience && one.token.equals(two.token)))
  )
}

function wipeTokens(tokens: readonly ServiceToken[]): void {
  for (const { token } of tokens) token.wipe()
}
