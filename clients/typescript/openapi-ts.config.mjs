export default {
  input: 'openapi.json',
  logs: { file: false },
  output: { path: 'src/generated', module: { extension: '.js' } },
};
