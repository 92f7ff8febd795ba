// Selecting another document keeps what was entered into Authorize. Swagger UI would drop it, or write it to
// localStorage (`persistAuthorization`), where every later script of this origin could read it.
const KeepAuthorization = () => ({
  statePlugins: { auth: { wrapActions: { restoreAuthorization: () => () => {} } } },
});

window.onload = () => {
  window.ui = SwaggerUIBundle({
    ...CONFIG,
    presets: [SwaggerUIBundle.presets.apis, SwaggerUIStandalonePreset],
    plugins: [SwaggerUIBundle.plugins.DownloadUrl, KeepAuthorization],
  });
};
