/** Bytes of all files of one volume together; a Kubernetes Secret holds 1 MiB at most. */
export const MAX_VOLUME_BYTES = 4 * 1024 * 1024

/** Files of one volume; with empty ones too, it bounds inodes and pages, which bytes alone do not. */
export const MAX_VOLUME_FILES = 1024

/** Tokens of one pod: one per entry of the CSIDriver's tokenRequests, and a cluster has a handful of audiences. */
export const MAX_TOKENS = 16

/** Of one audience: a daemon's configuration names none that is longer. */
export const MAX_AUDIENCE_CHARS = 253

/** Tokens of pods have about 1 KiB; a header of more than 16 KiB would not reach an API server. */
export const MAX_TOKEN_BYTES = 16 * 1024

/** volumeAttributes of one volume, and the bytes of their names and values together. */
export const MAX_ATTRIBUTES = 64
export const MAX_ATTRIBUTE_BYTES = 64 * 1024

/** chown(2) takes the next number, 2^32 - 1, for "leave it as it is". */
export const MAX_USER_OR_GROUP_ID = 0xffff_fffe
