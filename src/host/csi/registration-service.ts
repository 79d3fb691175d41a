import type { RegistrationHandlers } from '../../wire/gen/pluginregistration/Registration.ts'
import type { RegistrationStatus__Output } from '../../wire/gen/pluginregistration/RegistrationStatus.ts'
import { unary, type UnaryOptions } from '../../wire/unary.ts'

export interface RegistrationOptions {
  readonly driver: string
  /** csi.sock as kubelet sees it: a plain path, for a scheme would be taken for a part of it. */
  readonly endpoint: string
  /** kubelet's verdict; it may come more than once, also after a first good one. */
  readonly onStatus: (isRegistered: boolean, error: string) => void
}

/** What kubelet asks on the registration socket. GetInfo has to answer within a second of the start. */
export function registrationService(
  { driver, endpoint, onStatus }: RegistrationOptions,
  calls: UnaryOptions,
): RegistrationHandlers {
  return {
    GetInfo: unary('GetInfo', calls, () => ({
      type: 'CSIPlugin',
      name: driver,
      endpoint,
      supportedVersions: ['1.0.0'],
    })),
    NotifyRegistrationStatus: unary(
      'NotifyRegistrationStatus',
      calls,
      ({ pluginRegistered, error }: RegistrationStatus__Output) => {
        onStatus(pluginRegistered, error)
        return {}
      },
    ),
  }
}
