FROM node:22-slim AS build
WORKDIR /silo
COPY package.json package-lock.json .npmrc ./
# Without the embedded PostgreSQL (an optional dependency): the image uses a database server.
RUN npm ci --omit=optional --ignore-scripts
COPY tsconfig.json tsconfig.build.json tsconfig.schemas.json ./
COPY *.ts ./
COPY embedded embedded
COPY feed feed
COPY lib lib
COPY plugins plugins
COPY routes routes
COPY schemas schemas
COPY store store
COPY web web
RUN npm run build

FROM node:22-slim
ENV NODE_ENV=production HOST=0.0.0.0
WORKDIR /silo
COPY package.json package-lock.json .npmrc ./
RUN npm ci --omit=dev --omit=optional --ignore-scripts && npm cache clean --force
COPY migrations migrations
COPY web web
COPY --from=build /silo/dist dist
USER node
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s \
  CMD ["node", "-e", "fetch(`http://127.0.0.1:${process.env.PORT || 8080}/health`).then((res) => process.exit(res.ok ? 0 : 1), () => process.exit(1))"]
CMD ["node", "dist/server.js"]
