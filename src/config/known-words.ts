import * as z from 'zod'
import { schema } from './schema.ts'

/** What may be said at a path of the file; empty where nothing may. */
export function wordsAt(path: readonly PropertyKey[]): readonly string[] {
  const shapes = path.reduce<readonly z.core.$ZodType[]>(
    (types, step) => types.flatMap((type) => below(type, step)),
    [schema],
  )
  return shapes.flatMap((type) => {
    const inner = bare(type)
    if (inner instanceof z.ZodDiscriminatedUnion) return inner.options.flatMap(keysOf)
    return keysOf(inner)
  })
}

function keysOf(type: z.core.$ZodType): readonly string[] {
  return type instanceof z.ZodObject ? Object.keys(type.shape) : []
}

function below(type: z.core.$ZodType, step: PropertyKey): readonly z.core.$ZodType[] {
  const inner = bare(type)
  if (inner instanceof z.ZodArray) return [inner.element]
  if (inner instanceof z.ZodDiscriminatedUnion) {
    return inner.options.flatMap((option) => below(option, step))
  }
  if (!(inner instanceof z.ZodObject)) return []
  const shape = inner.shape as Readonly<Record<PropertyKey, z.core.$ZodType>>
  const next = Object.hasOwn(shape, step) ? shape[step] : undefined
  return next === undefined ? [] : [next]
}

function bare(type: z.core.$ZodType): z.core.$ZodType {
  if (type instanceof z.ZodPrefault || type instanceof z.ZodOptional) return bare(type.unwrap())
  return type
}
