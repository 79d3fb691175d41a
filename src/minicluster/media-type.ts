/** In which form an answer is wanted. `as` is a transformation of the object, for errors of no account. */
export interface MediaType {
  readonly encoding: 'json' | 'protobuf'
  readonly as: 'object' | 'PartialObjectMetadata' | 'Table'
}

export const JSON_TYPE = 'application/json'
export const PROTOBUF_TYPE = 'application/vnd.kubernetes.protobuf'
export const TEXT_TYPE = 'text/plain; charset=utf-8'

export const PLAIN_JSON: MediaType = { encoding: 'json', as: 'object' }

/** The first form of an Accept header that can be served; undefined: none (406). */
export function negotiate(accept: string | undefined): MediaType | undefined {
  if (accept === undefined || accept.trim() === '') return PLAIN_JSON
  for (const clause of accept.split(',')) {
    const [type = '', ...parameters] = clause.split(';').map((part) => part.trim())
    const form = formOf(type, new Map(parameters.map(splitParameter)))
    if (form !== undefined) return form
  }
  return undefined
}

function formOf(type: string, parameters: ReadonlyMap<string, string>): MediaType | undefined {
  const as = transformationOf(parameters)
  if (as === undefined) return undefined
  if (type === JSON_TYPE || type === 'application/*' || type === '*/*') {
    return { encoding: 'json', as }
  }
  // Transformed objects are spoken in JSON only here, which is what anybody asks for.
  return type === PROTOBUF_TYPE && as === 'object' ? { encoding: 'protobuf', as } : undefined
}

/** `as=Table;g=meta.k8s.io;v=v1`: a clause with another group or version is not served. */
function transformationOf(parameters: ReadonlyMap<string, string>): MediaType['as'] | undefined {
  const as = parameters.get('as')
  if (as === undefined) return 'object'
  if (as !== 'Table' && as !== 'PartialObjectMetadata') return undefined
  return parameters.get('g') === 'meta.k8s.io' && parameters.get('v') === 'v1' ? as : undefined
}

function splitParameter(parameter: string): [string, string] {
  const [name = '', value = ''] = parameter.split('=')
  return [name.trim(), value.trim()]
}
