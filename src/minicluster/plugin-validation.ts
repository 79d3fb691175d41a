import type { PluginInfo__Output } from '../wire/gen/pluginregistration/PluginInfo.ts'

/** kubelet's ValidatePlugin: why it does not take this one. `known`: the version of the one it has. */
export function refusalOf(info: PluginInfo__Output, known: string | undefined): string | undefined {
  if (info.type !== 'CSIPlugin') {
    return `no handler registered for plugin type: ${info.type} at socket`
  }
  if (info.endpoint.includes('://')) {
    return `endpoint ${info.endpoint}: has to be a plain path of this host`
  }
  const prefix = `ValidatePlugin for CSI driver "${info.name}"`
  const version = highestVersion(info)
  if (version === undefined) {
    return `${prefix} failed. None of the versions specified ${JSON.stringify(info.supportedVersions)} are supported`
  }
  if (known === undefined || compareVersions(known, version) < 0) return undefined
  return `${prefix} rejected; another driver with the same name is already registered with a higher supported version: "${known}"`
}

/** The highest 1.x of them. */
export function highestVersion({ supportedVersions }: PluginInfo__Output): string | undefined {
  return supportedVersions
    .filter((version) => /^v?1(\.\d+){0,2}$/.test(version))
    .sort(compareVersions)
    .at(-1)
}

function compareVersions(a: string, b: string): number {
  return a.localeCompare(b, 'en', { numeric: true })
}
