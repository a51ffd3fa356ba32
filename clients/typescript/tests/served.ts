/** A real server of a real store, to be killed and started again at the same address. */

import { type ChildProcess, execFile, spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const AUDIT = process.env["AUDIT_COMMAND"] ?? fileURLToPath(new URL("../../../.venv/bin/audit", import.meta.url));

/** As an attacker does who can write the store's files and knows their format. */
const TAMPER = fileURLToPath(new URL("../../../docs/tamper.py", import.meta.url));

const run = promisify(execFile);

/** Run `audit` with these arguments, and return what it printed. */
export async function audit(...words: string[]): Promise<string> {
  return (await run(AUDIT, words)).stdout;
}

export class Served {
  #process: ChildProcess | undefined;
  #said = "";

  private constructor(
    private readonly directory: string,
    readonly port: number,
    private readonly more: readonly string[],
  ) {}

  static async create(...more: string[]): Promise<Served> {
    const directory = await mkdtemp(join(tmpdir(), "audit-client-"));
    const served = new Served(directory, await freePort(), more);
    await served.start();
    return served;
  }

  get url(): string {
    return `ws://127.0.0.1:${this.port}`;
  }

  /** Return once it listens. */
  async start(): Promise<void> {
    const options = ["--data", this.data, "--create", "--listen", `127.0.0.1:${this.port}`];
    const child = spawn(AUDIT, ["serve", ...options, ...this.more], { stdio: ["ignore", "pipe", "pipe"] });
    this.#process = child;
    child.stderr?.on("data", (text) => {
      this.#said += text;
    });
    await new Promise<void>((resolve, reject) => {
      child.once("exit", (code) => reject(new Error(`audit serve ended with ${code}: ${this.#said}`)));
      if (child.stdout) createInterface(child.stdout).once("line", () => resolve());
    });
  }

  /** Return a new token; from then on, whoever asks must show one. */
  async token(role: string, ...topics: string[]): Promise<string> {
    const where = topics.flatMap((topic) => ["--topic", topic]);
    const printed = await audit("token", "new", "--data", this.data, "--role", role, ...where);
    return printed.trim().split("\n").at(-1) ?? "";
  }

  /** Have other words in every event of the store, which all fits; not while it is served. */
  async tamper(old: string, other: string): Promise<void> {
    await run(AUDIT.replace(/audit$/, "python"), [TAMPER, this.data, old, other]);
  }

  get data(): string {
    return join(this.directory, "data");
  }

  /** End it, at once or in order. */
  async stop(signal: "SIGKILL" | "SIGTERM" = "SIGKILL"): Promise<void> {
    const child = this.#process;
    this.#process = undefined;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const ended = new Promise((resolve) => child.once("exit", resolve));
    child.kill(signal);
    await ended;
  }

  async remove(): Promise<void> {
    await this.stop();
    await rm(this.directory, { recursive: true });
  }
}

export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer().once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const { port } = server.address() as { port: number };
      server.close(() => resolve(port));
    });
  });
}
