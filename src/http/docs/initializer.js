// Selecting another document keeps what was entered into Authorize. Swagger UI would drop it, or write it to
// localStorage (`persistAuthorization`), where every later script of this origin could read it.
const KeepAuthorization = () => ({
  statePlugins: { auth: { wrapActions: { restoreAuthorization: () => () => {} } } },
});

// Whoever wants to look rather than to call goes there.
const linkToConsole = () => {
  const link = document.createElement("a");
  link.href = "../console/";
  link.textContent = "Console";
  document.querySelector(".topbar-wrapper .link")?.after(link);
};

window.onload = () => {
  window.ui = SwaggerUIBundle({
    ...CONFIG,
    presets: [SwaggerUIBundle.presets.apis, SwaggerUIStandalonePreset],
    plugins: [SwaggerUIBundle.plugins.DownloadUrl, KeepAuthorization],
    onComplete: linkToConsole,
  });
};
