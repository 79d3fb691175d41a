import { lstatSync, readFileSync, statSync, watch, type BigIntStats } from 'node:fs'
import { setImmediate as turn } from 'node:timers/promises'

/** The program of watcher.ts: watches a volume's file `password` in the ways in which applications do. */
export interface Seen {
  readonly text: string
  /** inotify events so far, of the volume's folder and of the file by its path. */
  readonly folderEvents: number
  readonly fileEvents: number
  /** What whoever polls compares: of the file by its path, of the visible link itself, of what `..data` names. */
  readonly file: string
  readonly link: string
  readonly data: string
}

const folder = process.argv[2] ?? ''
const file = `${folder}/password`
let folderEvents = 0
let fileEvents = 0
watch(folder, () => (folderEvents += 1))
watch(file, () => (fileEvents += 1))
process.on('message', () => void look().then((seen) => process.send?.(seen)))
process.once('disconnect', () => process.exit(0))
process.send?.(await look())

async function look(): Promise<Seen> {
  // What the kernel had to say before the question is read before the answer.
  for (let turns = 0; turns < 3; turns += 1) await turn()
  return {
    text: readFileSync(file, 'utf8'),
    folderEvents,
    fileEvents,
    file: identity(statSync(file, { bigint: true })),
    link: identity(lstatSync(file, { bigint: true })),
    data: identity(statSync(`${folder}/..data`, { bigint: true })),
  }
}

function identity({ ino, mtimeNs }: BigIntStats): string {
  return `inode ${ino} of ${mtimeNs}`
}
