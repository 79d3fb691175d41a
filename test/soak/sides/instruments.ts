import fs from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'
import koffi from 'koffi'
import { CrashPoints } from './crash-points.ts'

/*
 * To be imported ahead of any source: the system calls are bound when src/syscalls is loaded. Nothing in the
 * sources knows of it.
 */
export const points = new CrashPoints('start')

const CHANGES = [
  'mkdirSync',
  'openSync',
  'writeSync',
  'writeFileSync',
  'fchownSync',
  'fchmodSync',
  'chmodSync',
  'lchownSync',
  'lutimesSync',
  'symlinkSync',
  'renameSync',
  'unlinkSync',
  'rmdirSync',
  'rmSync',
] as const

/** fsopen, fsconfig, fsmount and so on, by the number of syscall(2) that src/syscalls/mount-api.ts gives. */
const SYSCALLS: Readonly<Record<number, string>> = {
  428: 'open_tree',
  429: 'move_mount',
  430: 'fsopen',
  431: 'fsconfig',
  432: 'fsmount',
  442: 'mount_setattr',
}

const STANDARD_FDS = 2

type Call = (...args: unknown[]) => unknown

watchFileSystem()
watchSystemCalls()

function watchFileSystem(): void {
  const calls = fs as unknown as Record<(typeof CHANGES)[number], Call>
  for (const name of CHANGES) {
    const original = calls[name]
    calls[name] = (...args) => {
      if (isChange(name, args)) points.meet(name)
      return original(...args)
    }
  }
  syncBuiltinESMExports()
}

/** Opening is one where it creates; the log's lines are none. */
function isChange(name: string, [first, second]: readonly unknown[]): boolean {
  if (name === 'openSync')
    return typeof second === 'number' && (second & fs.constants.O_CREAT) !== 0
  return !(name === 'writeSync' && typeof first === 'number' && first <= STANDARD_FDS)
}

function watchSystemCalls(): void {
  const native = koffi as unknown as { load: (path: null) => { func: (prototype: string) => Call } }
  const load = native.load.bind(koffi)
  native.load = (path) => {
    const library = load(path)
    return {
      func: (prototype) => {
        const call = library.func(prototype)
        const fixed = /\b(umount2)\(/.exec(prototype)?.[1]
        return (...args) => {
          const name = fixed ?? SYSCALLS[Number(args[0])]
          if (name !== undefined) points.meet(name)
          return call(...args)
        }
      },
    }
  }
}
