# Any image with Node 24 and glibc will do, e.g. --build-arg BASE=registry.example/node:24.
ARG BASE=node:24-bookworm-slim
FROM ${BASE}

# An image with Node usually has package managers, too; nothing here needs them.
# Beside the entry point, `latchkey` is a command, for `kubectl exec ... -- latchkey list`.
RUN rm -rf /usr/local/lib/node_modules /usr/local/bin/npm /usr/local/bin/npx /usr/local/bin/corepack /opt/yarn-* \
 && ln -s /opt/latchkey/app/bin/latchkey.js /usr/local/bin/latchkey

# dist/ is made beforehand by `npm run build` and only copied here. So the bytes that were tested are
# the bytes that ship, the image needs neither npm nor, apart from the base, a network to be built, and no package manager
# or development dependency has to be taken out of it again.
COPY dist/ /opt/latchkey/

# Nothing is ever written there, and the host container runs the same files as root.
USER 65532:65532
WORKDIR /
ENV NODE_ENV=production
# glibc overwrites freed memory for us, but not what lies in its per-thread caches: without them copies of tokens
# do not stay there.
ENV GLIBC_TUNABLES=glibc.malloc.tcache_count=0
# No signal opens a debugger. What lives for a moment takes 12 MiB at most, instead of 100: a container has its limit.
ENTRYPOINT ["node", "--disable-sigusr1", "--max-semi-space-size=4", "/opt/latchkey/app/bin/latchkey.js"]
CMD ["--help"]

LABEL org.opencontainers.image.title="latchkey" \
      org.opencontainers.image.description="Node-local secret delivery for Kubernetes" \
      org.opencontainers.image.licenses="Apache-2.0"
