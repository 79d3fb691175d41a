import { isDnsLabel, isDnsSubdomain } from '../core/kube-names.ts'
import type { RefreshOutcome__Output } from '../wire/gen/latchkey/mount/v1/RefreshOutcome.ts'
import type { RefreshRequest } from '../wire/gen/latchkey/mount/v1/RefreshRequest.ts'
import type { CommandArgs } from './commands.ts'
import { configFileOf } from './config-file.ts'
import { askDaemon } from './daemon-call.ts'
import { EXIT, writeError } from './output.ts'
import { coloured, oneLine, type Screen, type Tone } from './table.ts'

/** A source that hangs is given up on well before; many volumes of it are asked for at once. */
const TIMEOUT_MS = 120_000

const USAGE = 'refresh: say which volumes: VOLUME_ID, --pod NAMESPACE/NAME or --source NAME'

/** `latchkey refresh`: has the sources of the chosen volumes asked now. Fails where any could not be. */
export async function runRefresh(args: CommandArgs): Promise<number> {
  const { flags, terminal } = args
  const choice = chosen(args)
  if (typeof choice === 'string') {
    writeError(terminal, choice, 'latchkey list names volumes and pods of this node')
    return EXIT.usage
  }
  const { volumes } = await askDaemon(configFileOf(flags), (client) =>
    client.refresh(choice, TIMEOUT_MS),
  )
  for (const outcome of volumes) terminal.out(`${lineOf(outcome, terminal.screen)}\n`)
  return volumes.some(({ reason }) => reason !== '') ? EXIT.failure : EXIT.ok
}

/** What to ask for, or what is wrong with the question. */
function chosen({ flags, operands }: CommandArgs): RefreshRequest | string {
  const [volumeId] = operands
  const [pod, source] = [flags.get('pod'), flags.get('source')]
  const choices = [volumeId, pod, source].filter((choice) => choice !== undefined)
  if (choices.length === 0) return USAGE
  if (choices.length > 1) return `${USAGE}; only one of them`
  if (source !== undefined) return { source }
  if (pod !== undefined) {
    const [namespace = '', name = '', ...rest] = pod.split('/')
    return isDnsLabel(namespace) && isDnsSubdomain(name) && rest.length === 0
      ? { pod: { namespace, name } }
      : `refresh: --pod takes NAMESPACE/NAME, such as shop/api-0, not ${JSON.stringify(pod)}`
  }
  return { volumeId: volumeId ?? '' }
}

function lineOf({ volumeId, pod, ...outcome }: RefreshOutcome__Output, screen?: Screen): string {
  const [word, tone] = verdict(outcome)
  const shown = screen?.isColoured === true ? coloured(word, tone) : word
  const why = outcome.reason === '' ? '' : `: ${oneLine(`${outcome.reason}: ${outcome.message}`)}`
  const name = oneLine(`${pod?.namespace ?? ''}/${pod?.name ?? ''} ${volumeId}`)
  return `${name}: ${shown}${why}`
}

function verdict({
  changed,
  reason,
}: Pick<RefreshOutcome__Output, 'changed' | 'reason'>): readonly [string, Tone | undefined] {
  if (reason !== '') return ['failed', 'bad']
  return changed ? ['refreshed', 'good'] : ['unchanged', undefined]
}
