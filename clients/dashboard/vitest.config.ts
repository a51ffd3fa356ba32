import { mergeConfig } from "vite";
import { defineConfig } from "vitest/config";
import base from "./vite.config.js";

export default mergeConfig(
  base,
  defineConfig({
    test: {
      include: ["tests/**/*.test.ts"],
      testTimeout: 60_000,
      hookTimeout: 60_000,
      expect: { poll: { timeout: 20_000 } },
    },
  }),
);
