import { fileURLToPath } from "node:url";
import { defineConfig } from "vite";

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url));

/** The client as one module beside the pages, at a path that stays: for pages that import it from the server they use. */
export default defineConfig({
  build: {
    outDir: here("../../src/audit/server/pages"),
    emptyOutDir: false,
    copyPublicDir: false,
    target: "es2022",
    // Names of errors are those of their classes, and who debugs a page may read it.
    minify: false,
    lib: { entry: here("../typescript/src/index.ts"), formats: ["es"], fileName: () => "client.js" },
  },
});
