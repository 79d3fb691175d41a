/** Two paths of one volume that have no one right outcome on disk, by their places in the list. */
export interface Collision {
  readonly one: number
  readonly two: number
  /** What both are, or what one is and the other needs as a folder. */
  readonly path: string
  readonly isFolder: boolean
}

/** The first collision among the paths: one comes twice, or lies below another. */
export function findCollision(paths: readonly string[]): Collision | undefined {
  const files = new Map<string, number>()
  for (const [two, path] of paths.entries()) {
    const one = files.get(path)
    if (one !== undefined) return { one, two, path, isFolder: false }
    files.set(path, two)
  }
  for (const [two, path] of paths.entries()) {
    for (let end = path.indexOf('/'); end !== -1; end = path.indexOf('/', end + 1)) {
      const folder = path.slice(0, end)
      const one = files.get(folder)
      if (one !== undefined) return { one, two, path: folder, isFolder: true }
    }
  }
  return undefined
}
