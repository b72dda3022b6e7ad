// Creates a schedule by gRPC and prints when it runs. Needs `npm install @grpc/grpc-js @grpc/proto-loader`.
//
// node examples/grpc_client.mjs [HOST:PORT]

import grpc from "@grpc/grpc-js";
import loader from "@grpc/proto-loader";
import { fileURLToPath } from "node:url";

const PROTO = fileURLToPath(new URL("../proto", import.meta.url));
const address = process.argv[2] ?? "127.0.0.1:9090";

// 64-bit numbers as text: a number of JavaScript does not hold all of them.
const options = { includeDirs: [PROTO], keepCase: true, longs: String, defaults: true };
const { chronowatch } = grpc.loadPackageDefinition(loader.loadSync("chronowatch/v1/chronowatch.proto", options));
const schedules = new chronowatch.v1.ScheduleService(address, grpc.credentials.createInsecure());

function call(name, message) {
  const deadline = Date.now() + 10_000;
  return new Promise((resolve, reject) => {
    schedules[name](message, { deadline }, (error, answer) => (error ? reject(error) : resolve(answer)));
  });
}

try {
  const payload = Buffer.from(JSON.stringify({ hello: "grpc" }));
  const made = await call("Create", { type: "RATE", expr: "rate:5s", payload, enabled: true });
  console.log(JSON.stringify(await call("Get", made)));
} catch (error) {
  console.error(`${grpc.status[error.code] ?? "ERROR"}: ${error.details ?? error.message}`);
  process.exitCode = 1;
} finally {
  schedules.close();
}
