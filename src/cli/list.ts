import type { CommandArgs } from './commands.ts'
import { configFileOf } from './config-file.ts'
import { askDaemon } from './daemon-call.ts'
import { EXIT } from './output.ts'
import { toJson } from './table.ts'
import { viewOf, volumeTable, type VolumeView } from './volume-view.ts'

/** Nothing is asked of anybody else for the answer. */
const TIMEOUT_MS = 10_000

/** `latchkey list`: the volumes of this node. */
export async function runList({ flags, terminal }: CommandArgs): Promise<number> {
  const answer = await askDaemon(configFileOf(flags), (client) => client.list(TIMEOUT_MS))
  const views = answer.volumes.map(viewOf).filter((view) => isChosen(view, flags))
  if (flags.get('output') === 'json') {
    terminal.out(`${toJson({ volumes: views })}\n`)
  } else if (views.length === 0) {
    terminal.out(
      answer.volumes.length === 0
        ? 'No volumes on this node.\n'
        : `None of the ${answer.volumes.length} volumes of this node fits.\n`,
    )
  } else {
    terminal.out(volumeTable(views, Date.now(), terminal.screen))
  }
  return EXIT.ok
}

function isChosen({ namespace, pod }: VolumeView, flags: ReadonlyMap<string, string>): boolean {
  const fits = (flag: string, value: string | null): boolean =>
    !flags.has(flag) || flags.get(flag) === value
  return fits('namespace', namespace) && fits('pod', pod)
}
