// The official client of MCP speaks to `chronosctl mcp` by stdio. Arguments: Python, then node_modules of this client.
import { pathToFileURL } from 'node:url';

const [python, modules] = process.argv.slice(2);
const at = (name) => import(pathToFileURL(`${modules}/@modelcontextprotocol/sdk/dist/esm/client/${name}.js`).href);
const { Client } = await at('index');
const { StdioClientTransport } = await at('stdio');

const client = new Client({ name: 'test', version: '1' });
await client.connect(new StdioClientTransport({ command: python, args: ['-m', 'chronosctl', 'mcp'], env: process.env }));
const use = async (name, given) => client.callTool({ name, arguments: given });
const { tools } = await client.listTools();
const dry = await use('create_schedule', { type: 'RATE', expr: 'rate:1h', name: 'by-an-agent' });
const before = await use('find_schedules', {});
const made = await use('create_schedule', { type: 'RATE', expr: 'rate:1h', name: 'by-an-agent', dry_run: false });
const after = await use('find_schedules', { name_prefix: 'by-an' });
const gone = await use('get_schedule', { schedule_id: 'nobody' });
const wrong = await use('get_schedule', {}).catch((problem) => problem.code);
console.log(
  JSON.stringify({
    server: client.getServerVersion().name,
    tools: tools.length,
    dry: dry.structuredContent.dry_run,
    before: before.structuredContent.items.length,
    found: after.structuredContent.items.map((each) => each.id === made.structuredContent.id),
    gone: [gone.isError, gone.structuredContent.status],
    wrong,
  }),
);
await client.close();
