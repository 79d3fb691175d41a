import { randomBytes } from 'node:crypto'
import { readdirSync, rmSync } from 'node:fs'
import { connect } from 'node:net'
import { basename, dirname, join } from 'node:path'

const SUFFIX = /^\.[0-9a-f]{6}$/

export const HIDDEN_EXTRA_BYTES = '.'.length + '.abcdef'.length

/** The name under which a socket is bound before it is renamed; kubelet's plugin watcher skips names that start with a dot. */
export function hiddenName(path: string): string {
  return `${hiddenPrefix(path)}.${randomBytes(3).toString('hex')}`
}

/**
 * Removes hidden sockets that nobody listens on: a process that was killed between bind and rename left one,
 * and the folder may be on a disk that outlives every one of them.
 */
export async function removeStaleSockets(path: string): Promise<void> {
  const prefix = basename(hiddenPrefix(path))
  for (const name of readdirSync(dirname(path))) {
    if (!name.startsWith(prefix) || !SUFFIX.test(name.slice(prefix.length))) continue
    const hidden = join(dirname(path), name)
    if (await isStale(hidden)) rmSync(hidden, { force: true })
  }
}

function hiddenPrefix(path: string): string {
  return join(dirname(path), `.${basename(path)}`)
}

/** Only a refused connection says for certain that its owner is gone: another process may be starting, too. */
function isStale(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path)
    socket.once('connect', () => {
      socket.destroy()
      resolve(false)
    })
    socket.once('error', (error) => {
      resolve('code' in error && error.code === 'ECONNREFUSED')
    })
  })
}
