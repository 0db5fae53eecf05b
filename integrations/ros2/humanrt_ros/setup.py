"""The ROS 2 package humanrt_ros (ament_python). humanrt itself comes from pip: rosdep has no key for it."""

from setuptools import setup

NAME = "humanrt_ros"

setup(
    name=NAME,
    version="0.1.0",
    packages=[NAME],
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{NAME}"]),
        (f"share/{NAME}", ["package.xml"]),
        (f"share/{NAME}/launch", ["launch/hands.launch.py"]),
    ],
    install_requires=["setuptools", "humanrt"],
    zip_safe=True,
    description="Robot hands moved by a human's hand before a camera",
    license="Apache-2.0",
    entry_points={"console_scripts": [f"humanrt = {NAME}.node:main"]},
)
