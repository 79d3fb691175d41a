import { existsSync } from 'node:fs'

/** Where the DaemonSet mounts the configuration into both containers. */
export const INSTALLED_CONFIG = '/etc/latchkey/config.yaml'

/**
 * The file that a command reads: what `--config` names, else the installed one where there is one, so that
 * `kubectl exec ... -- latchkey list` asks the daemon at the socket that it was told to listen on.
 */
export function configFileOf(
  flags: ReadonlyMap<string, string>,
  installed = INSTALLED_CONFIG,
): string | undefined {
  return flags.get('config') ?? (existsSync(installed) ? installed : undefined)
}
