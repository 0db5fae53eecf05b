#version 330
in vec3 position;
uniform mat4 shadow_camera;
void main() { gl_Position = shadow_camera * vec4(position, 1.0); }
