import { checkConfig, loadConfig } from '../config/load.ts'
import { LatchkeyError } from '../core/errors.ts'
import { failed, ok, skipped, warning, type Finding } from '../wire/finding.ts'
import type { DiagnoseResponse__Output } from '../wire/gen/latchkey/mount/v1/DiagnoseResponse.ts'
import type { CommandArgs } from './commands.ts'
import { configFileOf } from './config-file.ts'
import { askDaemonAt } from './daemon-call.ts'
import { checkupJson, checkupText, type Checkup } from './checkup.ts'
import { judgeNode } from './node-findings.ts'
import { viewNode, type NodeView } from './node-view.ts'
import { EXIT } from './output.ts'
import { readVersion } from './version.ts'

/** Two calls to the API server, each with a bound of its own, are in it. */
const TIMEOUT_MS = 45_000

const CONFIG = 'configuration can be read'
const ANSWERS = 'daemon answers'
const VERSIONS = 'daemon is of the same version as this program'

/** `latchkey doctor`: what works on this node and what does not. Fails where any check has failed. */
export async function runDoctor(
  { flags, terminal }: CommandArgs,
  node: NodeView = viewNode(),
): Promise<number> {
  const checkup = await checkUp(configFileOf(flags), node)
  const isJson = flags.get('output') === 'json'
  terminal.out(isJson ? checkupJson(checkup) : checkupText(checkup, terminal.screen))
  const findings = [...checkup.node, ...checkup.daemon]
  return findings.some(({ grade }) => grade === 'GRADE_FAILED') ? EXIT.failure : EXIT.ok
}

async function checkUp(file: string | undefined, node: NodeView): Promise<Checkup> {
  const problems = file === undefined ? [] : checkConfig(file)
  // With a file that is broken, the rest is looked at with what a side would have without one.
  const config = loadConfig(problems.length > 0 ? {} : { file })
  const version = readVersion()
  const { answer, finding } = await askForFindings(config.sockets.mount)
  return {
    version,
    daemonVersion: answer?.version,
    node: [
      judgeConfigFile(file, problems),
      ...(await judgeNode(node, config)),
      finding,
      judgeVersion(version, answer?.version),
    ],
    daemon: answer?.findings ?? [],
  }
}

function judgeConfigFile(file: string | undefined, problems: readonly string[]): Finding {
  const [first] = problems
  if (first !== undefined) {
    return failed(CONFIG, first, `latchkey check ${file ?? ''} lists all that is wrong with it`)
  }
  return ok(CONFIG, file ?? 'there is none; every word has its default')
}

interface Asked {
  readonly answer: DiagnoseResponse__Output | undefined
  readonly finding: Finding
}

async function askForFindings(socket: string): Promise<Asked> {
  try {
    const answer = await askDaemonAt(socket, (client) => client.diagnose(TIMEOUT_MS))
    return { answer, finding: ok(ANSWERS, `at ${socket}`) }
  } catch (thrown) {
    const { message, reason } = LatchkeyError.from(thrown)
    const fix =
      reason === 'Unsupported'
        ? 'run the program of the same image as the daemon'
        : 'what the daemon would find is not known before it answers; see what it says: kubectl -n latchkey-system logs ds/latchkey -c daemon, and with --previous'
    return { answer: undefined, finding: failed(ANSWERS, message, fix) }
  }
}

function judgeVersion(own: string, daemon: string | undefined): Finding {
  if (daemon === undefined) return skipped(VERSIONS, 'the daemon does not answer')
  return daemon === own
    ? ok(VERSIONS, own)
    : warning(
        VERSIONS,
        `this is ${own}, the daemon is ${daemon}`,
        'give both containers of the DaemonSet the same image',
      )
}
