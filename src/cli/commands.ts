import { configFileOf, INSTALLED_CONFIG } from './config-file.ts'
import type { Terminal } from './output.ts'

/** `--name PLACEHOLDER`, given once at most. */
export interface Flag {
  readonly name: string
  readonly placeholder: string
  readonly summary: string
  /** All that it takes; without it any text. */
  readonly oneOf?: readonly string[]
}

export interface CommandArgs {
  /** Values of the command's flags by name; a flag that was not given is not in it. */
  readonly flags: ReadonlyMap<string, string>
  /** As many as the command's table entry asks for, and those that may follow them. */
  readonly operands: readonly string[]
  readonly terminal: Terminal
}

export interface Command {
  readonly name: string
  readonly summary: string
  /** Names of what has to follow the command's name. */
  readonly operands: readonly string[]
  /** Names of what may follow after that. */
  readonly optional?: readonly string[]
  readonly flags: readonly Flag[]
  /** Answers the exit code. Throws: LatchkeyError, which ends in exit code 1. */
  readonly run: (args: CommandArgs) => Promise<number>
}

const CONFIG: Flag = {
  name: 'config',
  placeholder: 'FILE',
  summary: `configuration in YAML; without it ${INSTALLED_CONFIG}, else all defaults`,
}

const OUTPUT: Flag = {
  name: 'output',
  placeholder: 'FORMAT',
  summary: 'text for people, the default, or json for programs',
  oneOf: ['text', 'json'],
}

/**
 * Every command: parsing, `--help` and docs/reference/command-line.md are made from this table. A command is
 * loaded when it is called, so that neither side carries the other's code in its memory.
 */
export const COMMANDS: readonly Command[] = [
  {
    name: 'host',
    summary: 'run the host side: serve kubelet, build volumes; as root, off the network',
    operands: [],
    flags: [CONFIG],
    run: async ({ flags }) => (await import('./host-start.ts')).runHost(configOf(flags)),
  },
  {
    name: 'daemon',
    summary: 'run the daemon: prove pods, fetch what they may have, keep it fresh',
    operands: [],
    flags: [CONFIG],
    run: async ({ flags }) => (await import('./daemon.ts')).runDaemon(configOf(flags)),
  },
  {
    name: 'run',
    summary: 'run both sides in one process, over the same socket',
    operands: [],
    flags: [CONFIG],
    run: async ({ flags }) => (await import('./run.ts')).runBoth(configOf(flags)),
  },
  {
    name: 'list',
    summary: "list this node's volumes: pod, generation, age, next look, state",
    operands: [],
    flags: [
      CONFIG,
      OUTPUT,
      { name: 'namespace', placeholder: 'NAME', summary: 'only volumes of pods in this namespace' },
      { name: 'pod', placeholder: 'NAME', summary: 'only volumes of pods with this name' },
    ],
    run: async (args) => (await import('./list.ts')).runList(args),
  },
  {
    name: 'refresh',
    summary: 'ask the sources of volumes now: one volume, or those of a pod or source',
    operands: [],
    optional: ['VOLUME_ID'],
    flags: [
      CONFIG,
      { name: 'pod', placeholder: 'NAMESPACE/NAME', summary: 'every volume of this pod' },
      {
        name: 'source',
        placeholder: 'NAME',
        summary: 'every volume with an item from this source',
      },
    ],
    run: async (args) => (await import('./refresh.ts')).runRefresh(args),
  },
  {
    name: 'doctor',
    summary: 'look at this node, daemon and sources: what is wrong, and what mends it',
    operands: [],
    flags: [CONFIG, OUTPUT],
    run: async (args) => (await import('./doctor.ts')).runDoctor(args),
  },
  {
    name: 'demo',
    summary: 'show a secret reach a pod, change and go, without a cluster',
    operands: [],
    flags: [],
    run: async () => (await import('./demo.ts')).runDemo(),
  },
  {
    name: 'check',
    summary: 'tell what is wrong with a configuration file, by line and column',
    operands: ['FILE'],
    flags: [],
    run: async (args) => (await import('./check.ts')).runCheck(args),
  },
]

function configOf(flags: ReadonlyMap<string, string>): { readonly config?: string } {
  const config = configFileOf(flags)
  return config === undefined ? {} : { config }
}
