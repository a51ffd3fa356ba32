import { fileURLToPath } from "node:url";
import { defineConfig } from "vite";

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url));

export default defineConfig({
  // Whatever path a proxy has it under.
  base: "./",
  resolve: { alias: { "@audit/client": here("../typescript/src/index.ts") } },
  build: {
    outDir: here("../../src/audit/server/pages"),
    emptyOutDir: true,
    target: "es2022",
    // The policy of the pages allows no script or style within them.
    modulePreload: { polyfill: false },
    assetsInlineLimit: 0,
  },
});
