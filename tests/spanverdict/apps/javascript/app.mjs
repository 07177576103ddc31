// Sends spans with attributes, events and unicode by one of the SDK's exporters: app.mjs EXPORTER ENDPOINT SPANS
import { SpanKind, SpanStatusCode } from '@opentelemetry/api';
import { resourceFromAttributes } from '@opentelemetry/resources';
import { BasicTracerProvider, BatchSpanProcessor } from '@opentelemetry/sdk-trace-base';

const [exporterName, url, count] = process.argv.slice(2);
const { OTLPTraceExporter } = await import(`@opentelemetry/exporter-trace-otlp-${exporterName}`);
const provider = new BasicTracerProvider({
  resource: resourceFromAttributes({ 'service.name': `js-${exporterName}` }),
  spanProcessors: [new BatchSpanProcessor(new OTLPTraceExporter({ url }), { maxExportBatchSize: 64 })],
});
const tracer = provider.getTracer('javascript-app', '1.0');
for (let number = 0; number < Number(count); number += 1) {
  const span = tracer.startSpan(`שלום 你好 🦊 ${number}`, { kind: SpanKind.CLIENT });
  span.setAttributes({
    'gen_ai.operation.name': 'chat',
    'gen_ai.request.model': 'm1',
    'gen_ai.usage.input_tokens': number,
    ratio: 0.5,
    large: Number.MAX_SAFE_INTEGER,
    negative: -number,
    yes: true,
    texts: ['a', 'ü', ''],
    'quoted "key"\n': 'line\nbreak \u0000 "quotes" \\',
  });
  span.addEvent('first token', { ünïcode: '✓', number });
  if (number % 2) span.setStatus({ code: SpanStatusCode.ERROR, message: 'nein' });
  span.end();
}
await provider.forceFlush();
await provider.shutdown();
