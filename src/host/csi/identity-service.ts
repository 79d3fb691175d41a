import type { IdentityHandlers } from '../../wire/gen/csi/v1/Identity.ts'
import { unary, type UnaryOptions } from '../../wire/unary.ts'

export interface IdentityOptions {
  readonly driver: string
  readonly version: string
}

/** kubelet never asks; liveness probes of the field do. */
export function identityService(options: IdentityOptions, calls: UnaryOptions): IdentityHandlers {
  return {
    GetPluginInfo: unary('GetPluginInfo', calls, () => ({
      name: options.driver,
      vendorVersion: options.version,
    })),
    GetPluginCapabilities: unary('GetPluginCapabilities', calls, () => ({})),
    Probe: unary('Probe', calls, () => ({ ready: { value: true } })),
  }
}
