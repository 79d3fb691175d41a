import { closeSync } from 'node:fs'
import { bind } from './libc.ts'

// The new mount API of Linux 5.2 (mount_setattr: 5.12). Its numbers are the same on every architecture.
const OPEN_TREE = 428
const MOVE_MOUNT = 429
const FSOPEN = 430
const FSCONFIG = 431
const FSMOUNT = 432
const MOUNT_SETATTR = 442

const AT_EMPTY_PATH = 0x1000
const CLOEXEC = 1
const OPEN_TREE_CLOEXEC = 0o2000000
const OPEN_TREE_CLONE = 1
const FSCONFIG_SET_FLAG = 0
const FSCONFIG_SET_STRING = 1
const FSCONFIG_CMD_CREATE = 6
const MOVE_MOUNT_F_EMPTY_PATH = 0x4
const MOVE_MOUNT_T_EMPTY_PATH = 0x40
const MOUNT_ATTR_RDONLY = 1
const MOUNT_ATTR_NOSUID = 2
const MOUNT_ATTR_NODEV = 4
const MOUNT_ATTR_NOEXEC = 8
const MNT_DETACH = 2
const UMOUNT_NOFOLLOW = 8

const fsopen = bind('fsopen', 'long syscall(long, const char *, unsigned int)')
const fsconfig = bind(
  'fsconfig',
  'long syscall(long, int, unsigned int, const char *, const char *, int)',
)
const fsmount = bind('fsmount', 'long syscall(long, int, unsigned int, unsigned int)')
const moveMount = bind(
  'move_mount',
  'long syscall(long, int, const char *, int, const char *, unsigned int)',
)
const openTree = bind('open_tree', 'long syscall(long, int, const char *, unsigned int)')
const mountSetattr = bind(
  'mount_setattr',
  'long syscall(long, int, const char *, unsigned int, void *, size_t)',
)
const umount2 = bind('umount2', 'int umount2(const char *, int)')

/** Options of a tmpfs, as tmpfs(5) names them; `true` is a flag without a value. */
export type TmpfsOptions = Readonly<Record<string, string | true>>

/** Makes a tmpfs that is attached nowhere yet; the answer is its file descriptor. Throws: SyscallError. */
export function createDetachedTmpfs(options: TmpfsOptions): number {
  const context = fsopen(FSOPEN, 'tmpfs', CLOEXEC)
  try {
    for (const [name, value] of Object.entries(options)) {
      if (value === true) fsconfig(FSCONFIG, context, FSCONFIG_SET_FLAG, name, null, 0)
      else fsconfig(FSCONFIG, context, FSCONFIG_SET_STRING, name, value, 0)
    }
    fsconfig(FSCONFIG, context, FSCONFIG_CMD_CREATE, null, null, 0)
    const attributes = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC
    return fsmount(FSMOUNT, context, CLOEXEC, attributes)
  } finally {
    closeSync(context)
  }
}

/** Makes a detached mount read-only; the file system behind it stays writable. Throws: SyscallError. */
export function makeReadOnly(mountFd: number): void {
  setAttributes(mountFd, MOUNT_ATTR_RDONLY, 0)
}

/** Lets this mount be written through, and no copy of it elsewhere. Throws: SyscallError. */
export function makeWritable(mountFd: number): void {
  setAttributes(mountFd, 0, MOUNT_ATTR_RDONLY)
}

/** A view of a mount that only this process has and may write through. Throws: SyscallError. */
export function cloneWritable(folderFd: number): number {
  const clone = openTree(
    OPEN_TREE,
    folderFd,
    '',
    OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH,
  )
  try {
    setAttributes(clone, 0, MOUNT_ATTR_RDONLY)
    return clone
  } catch (thrown) {
    closeSync(clone)
    throw thrown
  }
}

/** Attaches a detached mount on a folder that is held open, so that no path is walked. Throws: SyscallError. */
export function attach(mountFd: number, folderFd: number): void {
  moveMount(
    MOVE_MOUNT,
    mountFd,
    '',
    folderFd,
    '',
    MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH,
  )
}

/** Unmounts what lies at a path, never through a link. Throws: SyscallError (EBUSY, EINVAL: no mount). */
export function unmount(path: string): void {
  umount2(path, UMOUNT_NOFOLLOW)
}

/** As unmount, where it is busy: out of sight at once, gone with its last user. */
export function unmountLazily(path: string): void {
  umount2(path, UMOUNT_NOFOLLOW | MNT_DETACH)
}

/** struct mount_attr: attr_set, attr_clr, propagation, userns_fd, each 64 bits. */
function setAttributes(mountFd: number, set: number, clear: number): void {
  const attributes = Buffer.alloc(32)
  attributes.writeBigUInt64LE(BigInt(set), 0)
  attributes.writeBigUInt64LE(BigInt(clear), 8)
  mountSetattr(MOUNT_SETATTR, mountFd, '', AT_EMPTY_PATH, attributes, attributes.length)
}
