const BYTES = /^(\d{1,12})(B|KiB?|MiB?|GiB?)$/

const FACTORS: Readonly<Record<string, number>> = { B: 1, K: 1024, M: 1024 ** 2, G: 1024 ** 3 }

/** Bytes of a size such as "4MiB" or, as Kubernetes writes it, "4Mi"; undefined where it is none. */
export function parseBytes(text: string): number | undefined {
  const [, digits, unit] = BYTES.exec(text) ?? []
  const factor = FACTORS[unit?.charAt(0) ?? '']
  return factor === undefined ? undefined : Number(digits) * factor
}
