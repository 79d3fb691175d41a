import type { ConsumerOptions } from './kube-objects.ts'
import type { Place } from './support.ts'

/** One state of a volume as the pod has seen it. */
export interface Sight {
  /** Unix time in milliseconds of the first look that saw it. */
  readonly atMs: number
  /** The folder that `..data` names: another one for each generation. */
  readonly generation: string
  /** In the order that they were asked for. */
  readonly files: readonly string[]
}

// The link is followed once, as whoever needs files that belong together has to. The rig's Python has few modules.
const WATCH = `
import os, sys, time
root, names = sys.argv[1], sys.argv[2:]
lines, before = [], None
def read(name, folder):
    with open(os.open(name, os.O_RDONLY, dir_fd=folder), "rb") as file:
        return file.read().hex()
while True:
    generation = os.readlink(root + "/..data")
    folder = os.open(root + "/" + generation, os.O_RDONLY)
    look = " ".join([generation] + [read(name, folder) for name in names])
    os.close(folder)
    if look != before:
        before = look
        lines.append(f"{time.time() * 1000:.0f} {look}")
        with open("/tmp/sights.new", "w") as log:
            log.write("\\n".join(lines))
        os.replace("/tmp/sights.new", "/tmp/sights")
    time.sleep(0.005)
`

/** For a pod that looks at these files of a volume 200 times a second, and notes each state that it sees. */
export function watching(
  volume: string,
  names: readonly string[],
): NonNullable<ConsumerOptions['container']> {
  return { command: ['python3', '-c', WATCH, `/volumes/${volume}`, ...names] }
}

/** What such a pod has seen so far. It ends where a file is not there. */
export async function sightsOf(place: Place, pod: string): Promise<readonly Sight[]> {
  const text = await place.execText(pod, ['cat', '/tmp/sights'])
  return text.split('\n').map((line) => {
    const [at = '', generation = '', ...files] = line.split(' ')
    return {
      atMs: Number(at),
      generation,
      files: files.map((hex) => Buffer.from(hex, 'hex').toString()),
    }
  })
}
