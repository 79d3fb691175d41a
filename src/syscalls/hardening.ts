import { bind } from './libc.ts'

const PR_SET_DUMPABLE = 4
const RLIMIT_CORE = 4

const prctl = bind(
  'prctl',
  'int prctl(int, unsigned long, unsigned long, unsigned long, unsigned long)',
)
const setrlimit = bind('setrlimit', 'int setrlimit(int, void *)')

/** No core file of this process, and no other process of the same user may read its memory. */
export function disableCoreDumps(): void {
  setrlimit(RLIMIT_CORE, Buffer.alloc(16))
  prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)
}
