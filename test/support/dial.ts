import { once } from 'node:events'
import { connect } from 'node:net'

/** What a caller hears at a unix socket that says nothing itself. */
export async function outcomeOfDial(path: string): Promise<'greeted' | 'hung up on'> {
  const socket = connect(path)
  socket.on('error', () => undefined)
  const greeted = once(socket, 'data').then(() => 'greeted' as const)
  const closed = once(socket, 'close').then(() => 'hung up on' as const)
  const outcome = await Promise.race([greeted, closed])
  socket.destroy()
  return outcome
}
