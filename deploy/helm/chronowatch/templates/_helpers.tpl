{{- define "chronowatch.labels" -}}
app.kubernetes.io/name: chronowatch
app.kubernetes.io/instance: {{ .root.Release.Name }}
{{- if .component }}
app.kubernetes.io/component: {{ .component }}
{{- end }}
{{- end }}

{{- define "chronowatch.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag }}
{{- end }}

{{- define "chronowatch.env" -}}
env:
{{- if .Values.env }}
{{- range $name, $value := .Values.env }}
  - name: {{ $name }}
    value: {{ $value | quote }}
{{- end }}
{{- else }} []
{{- end }}
envFrom:
  - secretRef:
      name: {{ .Values.existingSecret }}
{{- end }}

{{- define "chronowatch.locked" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{- define "chronowatch.pod" -}}
serviceAccountName: {{ .root.Release.Name }}
automountServiceAccountToken: {{ .root.Values.serviceAccount.automountToken }}
terminationGracePeriodSeconds: 30
securityContext:
  runAsNonRoot: true
  runAsUser: 65532
  runAsGroup: 65532
  fsGroup: 65532
  seccompProfile:
    type: RuntimeDefault
{{- end }}

{{- define "chronowatch.volumes" -}}
volumes:
  - name: config
    configMap:
      name: {{ .Release.Name }}
  - name: state
    emptyDir: {}
  - name: tmp
    emptyDir: {}
{{- end }}

{{- define "chronowatch.mounts" -}}
volumeMounts:
  - name: config
    mountPath: /opt/chronowatch/config
    readOnly: true
  - name: state
    mountPath: /var/lib/chronowatch
  - name: tmp
    mountPath: /tmp
{{- end }}
