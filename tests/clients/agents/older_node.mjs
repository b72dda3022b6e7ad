// The conformance suite imports `globSync`, which Node has from 22 on, for a command that is not run here.
import { register } from 'node:module';

const hooks = `
export async function resolve(name, context, next) {
  const asks = name === 'fs' && context.parentURL?.includes('@modelcontextprotocol/conformance');
  return asks ? { url: 'with-glob:fs', shortCircuit: true } : next(name, context);
}
export async function load(url, context, next) {
  const source = "export * from 'node:fs'; export const globSync = () => [];";
  return url === 'with-glob:fs' ? { format: 'module', shortCircuit: true, source } : next(url, context);
}`;
if (Number(process.versions.node.split('.')[0]) < 22) register('data:text/javascript,' + encodeURIComponent(hooks));
