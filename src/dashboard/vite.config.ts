import react from '@vitejs/plugin-react';
import { defineConfig } from 'vite';

export default defineConfig({
  root: import.meta.dirname,
  plugins: [react()],
  build: {
    emptyOutDir: true,
    target: 'es2022',
    // An image or a font inside a style sheet would need "data:" in the page's policy.
    assetsInlineLimit: 0,
    // The polyfill is an inline script where the policy forbids one; the browsers of `target` need none.
    modulePreload: { polyfill: false },
    chunkSizeWarningLimit: 700,
  },
  server: { proxy: { '/v1': 'http://127.0.0.1:3000', '/auth': 'http://127.0.0.1:3000' } },
});
