import { Shares } from './shares.ts'

interface Charge {
  readonly tenant: string
  readonly bytes: number
}

/** What each volume takes of a room that tenants share, by its id. */
export class Charges {
  readonly room: Shares
  readonly #byVolume = new Map<string, Charge>()

  constructor(mostBytes: number) {
    this.room = new Shares(mostBytes)
  }

  bytesOf(volumeId: string): number {
    return this.#byVolume.get(volumeId)?.bytes ?? 0
  }

  /** In place of what it took, whoever's that was; asks nobody. */
  set(volumeId: string, tenant: string, bytes: number): void {
    this.release(volumeId)
    this.#byVolume.set(volumeId, { tenant, bytes })
    this.room.add(tenant, bytes)
  }

  release(volumeId: string): void {
    const charge = this.#byVolume.get(volumeId)
    if (charge === undefined) return
    this.#byVolume.delete(volumeId)
    this.room.add(charge.tenant, -charge.bytes)
  }
}
